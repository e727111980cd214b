"""What a libvirt domain asks for, and what follows from it. Pure, but for the files of libvirt."""
