"""What the page lists."""

from __future__ import annotations

from django.db import models


class Horse(models.Model):
    name = models.CharField(max_length=40)
    colour = models.CharField(max_length=20)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    arrived = models.DateField()
