"""Executors: what runs jobs. Each is one function, (queue, run, slots) -> iterator of (task, outcome).

tasks.py says what a task is. serial.py is a loop; processes.py starts a child per GPU; ray_tasks.py gives the tasks to
Ray, after ray_nodes.py has looked at every node.

Whoever takes the outcomes may put a task back into the queue before asking for the next one: so jobs are tried again.
"""
