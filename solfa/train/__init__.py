"""Training: one loop (`train`), and a task for each family of models."""

from .config import TrainConfig
from .loop import TrainResult, train
from .recipe import Recipe, load_recipe
from .task import Loss, Task, TaskConfig

__all__ = ["Loss", "Recipe", "Task", "TaskConfig", "TrainConfig", "TrainResult", "load_recipe", "train"]
