"""The description of the API that the host serves of itself, a module for each subject; `document` puts it together."""
