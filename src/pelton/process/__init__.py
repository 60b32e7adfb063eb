"""What belongs to a process as such: forks, signals, threads, resources, the control socket, systemd.

Must not know the front, the worker or the plan.
"""
