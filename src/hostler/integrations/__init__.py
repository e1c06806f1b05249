"""What applications of certain frameworks need; nothing here is imported unless the application has imported them."""
