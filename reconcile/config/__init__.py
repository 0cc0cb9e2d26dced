"""The configuration: the rules file and the environment, checked and combined into `Settings`."""
