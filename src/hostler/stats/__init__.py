"""What the workers say of themselves, and who reads it."""
