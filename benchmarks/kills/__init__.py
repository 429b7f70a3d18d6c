"""What kills do to a hand-written chain with errbacks, and to the same steps as a saga.

``python -m benchmarks.kills`` runs the same three steps written in each way, disturbs them by the
same kills, judges them by the same rules, and prints the wrong ends side by side. Broker, workers
and databases are private to the run and on loopback.
"""
