"""The record: the SQL tables that are the truth about every saga, and their code."""
