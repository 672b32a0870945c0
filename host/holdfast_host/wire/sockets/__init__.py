"""What front and worker say of sockets: frames, their pages, what stands after a death."""
