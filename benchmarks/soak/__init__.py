"""Hours of mixed load in minutes: does anything grow, and is anything ever wrong?"""
