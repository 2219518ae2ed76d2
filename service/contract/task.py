"""The two kinds of task that Foretell serves; a file in `service/tasks/` declares one of them.

A request passes `payload -> array -> predictor -> answer`; a task knows the first and last step.
"""

from service.contract.image import ImageTask
from service.contract.tabular import TabularTask

Task = TabularTask | ImageTask
