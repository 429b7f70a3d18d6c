from django.db import models


class Book(models.Model):  # type: ignore[misc]
    title = models.CharField(max_length=200, unique=True)
    copies = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.title} ({self.copies})"


class Order(models.Model):  # type: ignore[misc]
    title = models.CharField(max_length=200)
    copies = models.PositiveIntegerField()
    status = models.CharField(max_length=20, default="placed")

    def __str__(self) -> str:
        return f"{self.copies} of {self.title}: {self.status}"
