"""Counters, and how they are shown to Prometheus.

shared_counters.py  numbers in memory that workers share; a `Metric` is declared where it is counted
families.py         the families of Prometheus that a metric declares
requests.py         HTTP requests and gRPC calls, and how long they took
exposition.py       every declared family as prometheus_client has it; imported by the first scrape
"""
