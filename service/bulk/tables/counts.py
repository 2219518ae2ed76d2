"""What is counted of portfolios."""

from service.observability.metrics.shared_counters import Kind

PORTFOLIO_ROWS = Kind("portfolio_rows", ("model", "version"), ("scored", "refused"))
PORTFOLIOS = Kind("portfolios", (), ("under_way",))
