"""Training: one loop (`train`), and a task for each family of models."""

from solfa.train.config import TrainConfig
from solfa.train.loop import TrainResult, train
from solfa.train.recipe import Recipe, load_recipe
from solfa.train.task import Loss, Task, TaskConfig

__all__ = ["Loss", "Recipe", "Task", "TaskConfig", "TrainConfig", "TrainResult", "load_recipe", "train"]
