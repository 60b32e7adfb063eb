"""What a running server tells of itself: metrics, its state, stacks, profiles, and a page for people."""
