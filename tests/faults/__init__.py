"""What a host does when its disk, its files or its clock fail: real system calls, real LMDB files."""
