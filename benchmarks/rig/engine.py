"""A dispatcher that is woken every 50 ms until SIGTERM: the engine as the worker runs it, without a broker."""

import signal
import time

import django


def main() -> None:
    django.setup()
    from webhooks.services.dispatch import Engine

    engine, stopped = Engine(), []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    while not stopped:
        engine.wake()
        time.sleep(0.05)
    engine.stop()
    engine.join()


if __name__ == "__main__":
    main()
