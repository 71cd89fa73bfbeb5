"""A model as a service: the Open Inference Protocol, a call for people, and a page to try it."""
