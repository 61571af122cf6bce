def on_email_processed(**kwargs: object) -> None:
    pass
