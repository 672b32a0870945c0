"""What `holdfast doctor` looks at. Nothing here changes anything but for a file that is written and removed."""
