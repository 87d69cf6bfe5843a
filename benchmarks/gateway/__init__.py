"""Clients of a gateway, as web pages are: microphone frames in real time, replies, playback reports.

The gateway is one process, and the local server another one; the clients run in this process. Each client sends
frames of audio, asks a question every few seconds, and reports twice a second what it has played.
Measured are the CPU time and the memory of the gateway, how long events take from the gateway to the client, and
how long a ping takes. With two cores, the clients and the server take time from the gateway, so a machine with more
cores has better latencies.
"""
