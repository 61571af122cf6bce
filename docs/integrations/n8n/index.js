// n8n reads what to load in package.json; npm wants a main file.
