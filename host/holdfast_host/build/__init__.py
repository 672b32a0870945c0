"""From a project directory to a component: reads the manifest, gathers sources and dependencies, runs componentize-py.

The author's top-level code runs during a build, inside componentize-py's sandbox, with write access to the directories
it is given: so everything happens in a throwaway directory, in a process of its own with limits and a timeout.
Deploying, and checking what a component really is, does not live here.
"""
