"""What is counted, and how it is shown to Prometheus.

board.py     counters in memory that workers share
requests.py  requests by route, method and status, and how long they took
models.py    what the sessions of models compute, and what becomes of versions
families.py  all of it in Prometheus' words; imported when it is first asked for
"""
