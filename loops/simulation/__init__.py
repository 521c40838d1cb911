"""Playing playbooks for single customers on a virtual clock, with everything that they touch kept in memory."""
