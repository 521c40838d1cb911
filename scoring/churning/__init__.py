"""Churn models that learn from a table: a penalised binomial regression whose every prediction explains itself."""
