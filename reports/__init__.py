"""Reading rows: statistics, tables, figures, pages. Needs neither torch nor the runner."""
