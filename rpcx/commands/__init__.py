"""Groups of commands of ``rpcx``, each loaded by entry point ``rpcx.commands``, as a plug-in's are."""
