"""The words in which a task is declared: fields, signature, answers, uncertainty."""
