"""Whether plug-ins keep the rules of their seams (`rpcx.abc`); used through `rpcx.testing`."""
