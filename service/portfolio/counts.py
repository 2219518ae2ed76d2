"""What is counted of portfolios."""

from service.metrics.board import Kind

PORTFOLIO_ROWS = Kind("portfolio_rows", ("model", "version"), ("scored", "refused"))
PORTFOLIOS = Kind("portfolios", (), ("under_way",))
