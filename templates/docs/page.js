"use strict";

SwaggerUIBundle({
  ...{{ settings|safe }},
  url: "{{ schema_url|escapejs }}",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  requestInterceptor: (request) => {
    // The document is for who is signed in; the API is for keys, and gets no cookie.
    if (!request.loadSpec) {
      request.credentials = "omit";
    }
    return request;
  },
});
