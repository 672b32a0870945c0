"""What hostile components and guests try, what a host answers, and what is left of it afterwards."""
