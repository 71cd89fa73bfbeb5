"""One module a family; every public function in it builds one model of that name."""
