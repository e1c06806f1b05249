"""What the demo stores."""

from django.db import models
from django.urls import reverse


class Document(models.Model):
    """A file that somebody uploaded."""

    title = models.CharField(max_length=100)
    file = models.FileField(upload_to="documents/%Y/%m")
    uploaded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-uploaded_at"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """Where the file is downloaded; the admin links here too."""
        return reverse("document", args=[self.pk])
