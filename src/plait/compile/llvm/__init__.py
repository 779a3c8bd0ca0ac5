"""From Loop IR to LLVM's text, and from that to machine code."""
