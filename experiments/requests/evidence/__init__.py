"""What the model said before and says now, what else changed, and what that means."""
