"use strict";

SwaggerUIBundle({
  ...{{ settings|safe }},
  url: "{{ schema_url|escapejs }}",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [emailgisticsExplorer],
  layout: "BaseLayout",
  onComplete: nameFilter,
  requestInterceptor: (request) => {
    // The document is for who is signed in; the API is for keys, and gets no cookie.
    if (!request.loadSpec) {
      request.credentials = "omit";
    }
    return request;
  },
});
