"""The guests that run steps in JavaScript, and what the host does for them. Imported on demand."""
