"""The `hustings` command, one file for each subcommand. `main.main` is its entry."""
