"""What a language model is told: a conditioner a file, each from the user's input to vectors."""
