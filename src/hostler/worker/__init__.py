"""The process that runs the app: what happens after the fork, in order; finding and importing the app."""
