"""The listener: SMTP on asyncio (aiosmtpd), storing through `mailboxes.services`."""
