"""No models: the tables are SQLAlchemy's. But only an app with models gets ``post_migrate``."""
