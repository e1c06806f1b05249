"""The process that binds, forks and keeps the workers alive. It runs no app and no native code."""
