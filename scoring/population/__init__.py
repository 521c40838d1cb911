"""The whole population at once: the same signals, health and churn as for one customer, over columns."""
