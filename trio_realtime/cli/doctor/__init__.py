"""The ``doctor`` command: find out why a session with a service cannot be opened.

* :mod:`.environment`: versions, extras and audio devices of this installation.
* :mod:`.settings`: the endpoint, and where each of its values is from.
* :mod:`.connection`: a connection to the service, step by step.
* :mod:`.report`: what was found, as text and as JSON.
* :mod:`.command`: the command.
"""
