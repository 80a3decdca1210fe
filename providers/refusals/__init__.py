"""What the words of a refusal say: of the prompt, of the key, of credit, of work that was begun. Pure."""
