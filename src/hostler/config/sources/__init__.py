"""Where values come from. Each module turns one source into assignments and knows none of the others."""
