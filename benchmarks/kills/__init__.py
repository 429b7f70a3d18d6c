"""What kills do to a hand-written chain with errbacks, and to the same steps as a saga.

``python -m benchmarks.kills`` runs the same three steps, the same kills and the same rules of
judgement against each way to write them, and prints the wrong ends side by side. Everything is
private to the run and on loopback: broker, workers, databases.
"""
