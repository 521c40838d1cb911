"""Playing a playbook over the stored past: who would have entered, what they would have got, and what came of them."""
